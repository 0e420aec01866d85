"""What is shipped: claims and their measurements, the cards, the tables in the documentation."""
