export function launchOnBinderHub(_o: unknown): () => void { return () => undefined; }
