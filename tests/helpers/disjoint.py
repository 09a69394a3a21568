"""What every split has to keep."""


def assert_disjoint(split, groups=None):
    """Every id is in one part, and so is every group, where ids have one."""
    places = [(name, part) for part, names in split.items() for name in names]
    ids = [name for name, _ in places]
    assert len(set(ids)) == len(ids)
    owners = {(groups[name] if groups else name, part) for name, part in places}
    assert len(owners) == len({owner for owner, _ in owners})
