"""The interfaces between the runtime and the engines, with their obligations written in."""
