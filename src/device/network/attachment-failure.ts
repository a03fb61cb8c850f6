/** Why an attachment failed, as attach-network reports it. */
export interface AttachmentFailure {
  readonly code: 'pod-port-taken' | 'pod-network-failed' | 'device-unsupported';
  readonly message: string;
}

/** Reads `<code> <sentence>`; undefined for anything else. */
export function attachmentFailure(text: string): AttachmentFailure | undefined {
  const match = /^(pod-port-taken|pod-network-failed|device-unsupported) ([^\n]+)\n?$/.exec(text);
  if (match === null) return undefined;
  return { code: match[1] as AttachmentFailure['code'], message: match[2] ?? '' };
}
