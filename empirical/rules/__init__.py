"""Rules as data: refused with file and line, verified against what a model's logits can reach, added to its logits."""

from empirical.rules.book import RuleBook as RuleBook
from empirical.rules.book import priority_rows as priority_rows
from empirical.rules.book import rule_rows as rule_rows
from empirical.rules.checks import Refused as Refused
from empirical.rules.checks import Rule as Rule
from empirical.rules.checks import Selector as Selector
from empirical.rules.checks import guaranteed_mass as guaranteed_mass
from empirical.rules.checks import needed_strength as needed_strength
from empirical.rules.files import RuleFile as RuleFile
from empirical.rules.files import load_rules as load_rules
from empirical.rules.files import parse_rules as parse_rules
from empirical.rules.site import Site as Site
