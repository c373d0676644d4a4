"""What a finding is, and the catalogue of all there are. It reads no file."""
