"""The report page: runs as a folder of static pages, or served on this machine while they go on."""
