import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

/** The same, valid from 2089 on. */
export function earlyCertificate(): { key: string; cert: string } {
  const dir = mkdtempSync(join(tmpdir(), 'wherry-tls-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
  try {
    const sections = [
      ...['[ca]', 'default_ca = d', '[d]', 'database = index', 'new_certs_dir = .', 'rand_serial = yes'],
      ...['default_md = sha256', 'policy = p', 'x509_extensions = e', '[p]', 'commonName = supplied'],
      ...['[e]', 'subjectAltName = IP:127.0.0.1'],
    ];
    writeFileSync(join(dir, 'ca.cnf'), sections.join('\n'));
    writeFileSync(join(dir, 'index'), '');
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl('req', ...kind, '-subj', '/CN=early', '-keyout', 'key.pem', '-out', 'early.csr');
    const dates = ['-startdate', '20890101000000Z', '-enddate', '20900101000000Z'];
    const files = ['-keyfile', 'key.pem', '-in', 'early.csr', '-out', 'cert.pem'];
    openssl('ca', '-batch', '-selfsign', '-config', 'ca.cnf', '-notext', ...files, ...dates);
    const read = (name: string): string => readFileSync(join(dir, name), 'utf8');
    return { key: read('key.pem'), cert: read('cert.pem') };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
