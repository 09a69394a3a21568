"""One folder per paper. A folder imports `common` and never another folder."""
