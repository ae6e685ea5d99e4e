"""Whatever anybody may send or write down, fed to what reads it, damaged in every way."""
