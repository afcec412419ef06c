// The SHA-256 of bytes, in hexadecimal. crypto.subtle exists here: the page is of a loopback address.
export async function digest(bytes) {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
