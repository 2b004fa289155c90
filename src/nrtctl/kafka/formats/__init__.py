"""Formats of messages beside JSON: what the bytes of a value become before the engine reads them.

`decoder` makes JSON texts of them, which the pipeline parses as it parses any message. That is done
where bytes become rows: `store/envelope.py` is given what decodes. docs/formats.md.
"""
