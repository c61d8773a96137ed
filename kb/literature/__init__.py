"""Imported literature, stored in a file of its own and never mixed with the timeline.

Nobody of this project has checked it. `readers` turns files into works, `importing` stores them
without duplicates, `search` answers the search box over them.
"""
