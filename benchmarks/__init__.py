"""What a person waits for, as ratios against what they would use instead, measured in the same run: `make bench`."""
