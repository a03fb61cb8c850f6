export function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** Whether `address` stands for all addresses of a family, as in pods.md and for the plugins. */
export function isEveryAddress(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** The canonical text of an address (RFC 5952). */
export function canonicalAddress(address: string): string {
  return familyOf(address) === 4 ? address : new URL(`http://[${address}]/`).hostname.slice(1, -1);
}

/** An address as a number; undefined for anything that is not an address. */
export function addressNumber(text: unknown): bigint | undefined {
  if (typeof text !== 'string') return undefined;
  if (familyOf(text) === 6) return URL.canParse(`http://[${text}]/`) ? BigInt(`0x${hexOf(text)}`) : undefined;
  const parts = text.split('.');
  const isByte = (part: string): boolean => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256;
  if (parts.length !== 4 || !parts.every(isByte)) return undefined;
  return parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

/** Whether `text` is `address/prefix` with no bit set after the prefix. */
export function isSubnet6(text: string): boolean {
  const match = /^([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\/(\d{1,3})$/.exec(text);
  const [, address = '', prefix = ''] = match ?? [];
  // A longer prefix has no room for a gateway and a pod.
  if (match === null || !URL.canParse(`http://[${address}]/`) || Number(prefix) > 126 || Number(prefix) < 8) {
    return false;
  }
  return BigInt(`0x${hexOf(address)}`) % 2n ** BigInt(128 - Number(prefix)) === 0n;
}

/**
 * The local addresses in /proc/net/tcp and the like of sockets that receive what is sent to an
 * address of the host; `-` for any address. The kernel prints each 32-bit word in the byte order of
 * the processor, which is little-endian wherever wherry runs.
 */
export function procAddresses(hostIp: string | undefined): string {
  if (hostIp === undefined || isEveryAddress(hostIp)) return '-';
  const any6 = '0'.repeat(32);
  if (familyOf(hostIp) === 6) return `${any6},${words(hexOf(hostIp))}`;
  const bytes = hostIp.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  const word = words(bytes.join(''));
  return ['0'.repeat(8), any6, word, `0000000000000000FFFF0000${word}`].join(',');
}

/** The 32 digits of an IPv6 address. */
function hexOf(address: string): string {
  const [head = '', tail] = canonicalAddress(address).split('::');
  const groups = (part = '') => (part === '' ? [] : part.split(':'));
  const zeros = 8 - groups(head).length - groups(tail).length;
  return [...groups(head), ...Array.from({ length: zeros }, () => '0'), ...groups(tail)]
    .map((group) => group.padStart(4, '0'))
    .join('');
}

function words(hex: string): string {
  const word = (eight: string) => (eight.match(/../g) ?? []).reverse().join('');
  return (hex.match(/.{8}/g) ?? []).map(word).join('').toUpperCase();
}
