"""`If-None-Match`: the ETags that a caller has. A proxy that compresses answers makes them weak (`W/`)."""


def named_etags(if_none_match: str | None) -> list[str]:
    """Those of the header, `*` among them where it is given."""
    tags = (tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(","))
    return [tag for tag in tags if tag]


def is_known(etag: str, if_none_match: str | None) -> bool:
    tags = named_etags(if_none_match)
    return "*" in tags or etag in tags
