"""What an operator's machines ask a running bot: is it alive, is it ready, what does it count."""
