"""Literature from elsewhere, in a space and a file of its own, never mixed with the timeline's facts: nobody here checked it.

`readers` turns files into works, `library` keeps and deduplicates them, `finding` answers the search box over them.
"""
