"""The request of `POST /v1/lookup` as pydantic models, for the peers that are written with FastAPI.

The same members and bounds as lookup/wire.py; an unknown member is refused, as there.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Kid = Annotated[str, StringConstraints(min_length=16, max_length=16)]
TokenText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]


class Model(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class User(Model):
    """Who asks."""

    id: Name
    role: Name


class Question(Model):
    """One lookup."""

    kid: Kid
    token: TokenText
    user: User
    purpose: Literal["unscheduled-care", "scheduled-care"] = "unscheduled-care"
    encounter: Name | None = None
