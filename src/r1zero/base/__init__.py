"""The ground floor: devices, logging, errors, files, seeds, tables of named values."""
