"""What WhatsAppClient offers, a file a subject; the class itself only comes and goes."""
