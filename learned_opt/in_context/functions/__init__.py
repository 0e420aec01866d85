"""Function learners: recurrent networks that learn a function in their state."""
