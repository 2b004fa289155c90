"""Transactional producers: who may write, what is under way, how it ends."""
