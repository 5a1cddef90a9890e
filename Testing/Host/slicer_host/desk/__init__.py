"""The panel beside slice views, for people: see Testing/Host/app.py."""
