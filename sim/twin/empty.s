//go:build simexact

// Lets armed.go declare functions whose bodies are in package runtime.
