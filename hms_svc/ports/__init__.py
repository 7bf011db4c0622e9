"""The interfaces between the runtime and the engines, with what each implementation must ensure."""
