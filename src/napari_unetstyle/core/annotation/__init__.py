"""What a person said about pictures: corrections, their journal, and the project that collects them."""
