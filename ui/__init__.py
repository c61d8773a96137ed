"""The app's pages and components. All data comes from `kb`: there is no SQL and no torch here."""
