"""Coverage-guided fuzzing of what strangers write, by atheris."""
