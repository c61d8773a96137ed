"""The app's pages and components. They ask `kb` for everything: no SQL here, no torch."""
