"""Gates on attention outside a row's block: merged exactly, priced, and solved for; of any model that reads them."""
