"""What an AI service spends while it runs: usage, metrics, alerts, ledger, and the guard of its budget."""
