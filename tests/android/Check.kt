import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.maidepth.Pixels

/** IN.rgba WIDTH HEIGHT STRIDE OUT.rgb WIDTH HEIGHT, then DEPTH.f32 OUT.argb. */
fun main(args: Array<String>) {
    val numbers = args.map { it.toIntOrNull() ?: 0 }
    val rgb = ByteBuffer.allocate(numbers[5] * numbers[6] * 3)
    Pixels.toRgb(
        ByteBuffer.wrap(File(args[0]).readBytes()), numbers[1], numbers[2], numbers[3],
        rgb, numbers[5], numbers[6])
    File(args[4]).writeBytes(rgb.array())
    val bytes = ByteBuffer.wrap(File(args[7]).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
    val depth = FloatArray(bytes.remaining() / 4).also { bytes.asFloatBuffer().get(it) }
    val colors = IntArray(depth.size).also { Pixels.toColors(depth, it) }
    val out = ByteBuffer.allocate(4 * colors.size).apply { asIntBuffer().put(colors) }
    File(args[8]).writeBytes(out.array())
}
