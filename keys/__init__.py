"""The forgetful map: a small encrypted map with an erasable root.

Read in this order: `entry` and `page` (what is stored), `tree` (how it hangs together), `pages`
(where it lies), `slot` (what can forget), `anchor` (what must not go back), `epoch` (how
forgetting happens), `opening` and `refusing` (what a start finishes, and what it refuses), `vault`
(the few calls that the service uses), `claims` (what a machine must be like for the promise).

Di Crescenzo, Ferguson, Impagliazzo and Jakobsson, "How to forget a secret", STACS 1999; Reardon,
Ritzdorf, Basin and Capkun, "Secure data deletion from persistent media", ACM CCS 2013.
"""
