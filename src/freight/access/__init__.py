"""What a request must have before anything is looked up for it. Loaded only if access is limited."""
