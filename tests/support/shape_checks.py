"""How annotations are checked at run time: an int is a number where a float is wanted, as type checkers have it."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
