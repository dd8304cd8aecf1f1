"""What would each retraining policy have done on this history, and what would it have cost?"""
