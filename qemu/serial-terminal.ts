import { connect } from 'node:net';

/** Ctrl-]: leaves the terminal, as in telnet(1). */
const leaveKey = 0x1d;

/**
 * The shell writes this when it ends. Terminals do not show this unknown operating system command.
 */
const shellEnded = '\x1b]wherry\x07';

/**
 * Connects the terminal to a board's serial console until the board stops, the user leaves, or
 * input ends.
 * @param socket that of the console
 * @param ended settles when the board has ended
 */
export async function joinTerminal(socket: string, ended: Promise<void>): Promise<void> {
  const console = connect(socket);
  await new Promise<void>((done, fail) => console.once('connect', done).once('error', fail));
  const { stdin, stdout } = process;
  const left = new Promise<void>((done) => {
    stdin.on('data', (keys: Buffer) => {
      if (stdin.isTTY && keys.includes(leaveKey)) done();
      else console.write(keys);
    });
    if (!stdin.isTTY) stdin.on('end', () => setTimeout(done, 1000));
    console.on('close', done);
    let last = Buffer.alloc(0); // a serial line delivers the marker in pieces
    console.on('data', (bytes: Buffer) => {
      last = Buffer.concat([last, bytes]);
      if (last.includes(shellEnded)) done();
      last = last.subarray(-shellEnded.length);
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, done);
  });
  console.pipe(stdout, { end: false });
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.resume();
  // The prompt of the snapshot was printed before this connection: request a new one, for the size
  // of this terminal.
  const size = stdout.isTTY ? `stty rows ${stdout.rows} cols ${stdout.columns}; ` : '';
  console.write(` ${size}trap 'printf "\\033]wherry\\007"' EXIT; printf '\\033[H\\033[2J'\n`);
  await Promise.race([left, ended]);
  if (stdin.isTTY) stdin.setRawMode(false);
  stdin.pause();
  console.destroy();
}
