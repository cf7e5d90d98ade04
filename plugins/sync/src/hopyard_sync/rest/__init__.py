"""Any REST API, as the settings describe it."""
