"""The timeline as a folder of pages that needs no server: `kb export site DIR`.

`content` reads what there is to tell, `pages` and `data` make the files of it, `folder` writes
them. The pages show the app's own components, claims and texts; `assets/` has what takes
Streamlit's place in the browser.
"""
