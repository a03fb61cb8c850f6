/**
 * The two modules of @homebridge/dbus-native that wherry uses: the codec of messages, and the
 * reader of lines.
 */

declare module '@homebridge/dbus-native/lib/message.js' {
  interface DbusMessage {
    serial?: number;
    /** 1 method call, 2 method return, 3 error, 4 signal */
    type?: number;
    flags?: number;
    path?: string;
    interface?: string;
    member?: string;
    errorName?: string;
    replySerial?: number;
    destination?: string;
    sender?: string;
    signature?: string;
    body?: unknown[];
  }
  const codec: {
    marshall(message: DbusMessage): Buffer;
    unmarshalMessages(
      stream: NodeJS.ReadableStream,
      onMessage: (message: DbusMessage) => void,
      options: object,
    ): void;
  };
  export = codec;
}

declare module '@homebridge/dbus-native/lib/readline.js' {
  /** Reads one line and nothing after it; the line has no line feed. */
  function readLine(stream: NodeJS.ReadableStream, done: (line: Buffer) => void): void;
  export = readLine;
}
