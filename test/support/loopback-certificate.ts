import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A fresh self-signed certificate for 127.0.0.1 and for `hosts`. */
export function loopbackCertificate(hosts: readonly string[] = []): { key: string; cert: string } {
  const dir = mkdtempSync(join(tmpdir(), 'wherry-tls-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const name = [
      '-subj',
      '/CN=loopback',
      '-addext',
      ['subjectAltName=IP:127.0.0.1', ...hosts.map((host) => `DNS:${host}`)].join(','),
    ];
    execFileSync('openssl', ['req', '-x509', ...kind, ...name, '-keyout', key, '-out', cert], {
      stdio: 'ignore',
    });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
