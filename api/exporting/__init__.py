"""Files for people and their tools: tables as CSV and Parquet, events as OCSF, a review as a page.

Everything here turns an iterable of rows into an iterable of bytes, so that a file of a million rows takes no more
memory than one of ten. Where rows come from, and where bytes go, is the callers' matter.
"""
