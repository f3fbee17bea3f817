"""With this file here, tests of every package find what they share beside it (`fuzzing`)."""
