export async function speaks(_hub: string): Promise<"binderprogress" | "binderhub"> { return "binderprogress"; }
