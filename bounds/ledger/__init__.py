"""Claims, evidence, formal status: what stands behind each theorem, and the pages that say so."""
