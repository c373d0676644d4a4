"""Rules about meaning, across entries and files: one small function a code. They read a Config, and change nothing."""
