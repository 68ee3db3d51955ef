"""penalty levels of both edges and of the crossing: exact, followed, searched from below, proved from above"""
