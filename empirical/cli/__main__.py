"""`python -m empirical.cli`: `localist` without the installed script."""

from empirical.cli.commands import main

raise SystemExit(main())
