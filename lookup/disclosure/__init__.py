"""Subject access: what a family is given of what is held about it, as a file and as a page.

Made on an officer's machine of what a site has told (lookup/custodian/records/disclosing.py). What
may not be told is taken out here, by marks that an officer has set, before anything is written.
"""
