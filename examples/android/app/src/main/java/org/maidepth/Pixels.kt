package org.maidepth

import java.nio.ByteBuffer

/** What lies between a camera's pixels, the network and the screen; plain Kotlin, no Android. */
object Pixels {
    /** Colours of depth from far to near: five of the colours of "turbo". */
    private val RAMP = arrayOf(
        intArrayOf(48, 18, 59), intArrayOf(40, 188, 235), intArrayOf(164, 252, 60),
        intArrayOf(251, 126, 33), intArrayOf(122, 4, 3),
    )

    /**
     * Writes a camera's picture as the network takes it, resized bilinearly without antialiasing
     * (half-pixel centres), as the network's own first layer resizes.
     *
     * @param rgba four bytes a pixel, rows of [rowStride] bytes.
     * @param rgb gets [outWidth] * [outHeight] * 3 bytes from its start; it is rewound.
     */
    fun toRgb(
        rgba: ByteBuffer, width: Int, height: Int, rowStride: Int,
        rgb: ByteBuffer, outWidth: Int, outHeight: Int,
    ) {
        rgb.rewind()
        val scaleX = width.toFloat() / outWidth
        val scaleY = height.toFloat() / outHeight
        for (row in 0 until outHeight) {
            val y = ((row + 0.5f) * scaleY - 0.5f).coerceIn(0f, height - 1f)
            val top = y.toInt()
            val bottom = minOf(top + 1, height - 1)
            for (column in 0 until outWidth) {
                val x = ((column + 0.5f) * scaleX - 0.5f).coerceIn(0f, width - 1f)
                val left = x.toInt()
                val right = minOf(left + 1, width - 1)
                for (channel in 0 until 3) {
                    val upper = mix(
                        at(rgba, top, left, rowStride, channel),
                        at(rgba, top, right, rowStride, channel), x - left)
                    val lower = mix(
                        at(rgba, bottom, left, rowStride, channel),
                        at(rgba, bottom, right, rowStride, channel), x - left)
                    rgb.put((mix(upper, lower, y - top) + 0.5f).toInt().toByte())
                }
            }
        }
        rgb.rewind()
    }

    /**
     * Draws metres: near is warm, far is cold, in one range of colours for a picture.
     *
     * @param argb gets one colour for each number of [depthM].
     */
    fun toColors(depthM: FloatArray, argb: IntArray) {
        var near = Float.MAX_VALUE
        var far = 0f
        for (metres in depthM) {
            near = minOf(near, metres)
            far = maxOf(far, metres)
        }
        val range = maxOf(far - near, 1e-6f)
        for (index in depthM.indices) {
            val place = (far - depthM[index]) / range * (RAMP.size - 1)
            val step = place.toInt().coerceIn(0, RAMP.size - 2)
            var color = 0xFF
            for (channel in 0 until 3) {
                val value = mix(
                    RAMP[step][channel].toFloat(), RAMP[step + 1][channel].toFloat(), place - step)
                color = (color shl 8) or (value + 0.5f).toInt()
            }
            argb[index] = color
        }
    }

    private fun at(rgba: ByteBuffer, row: Int, column: Int, rowStride: Int, channel: Int): Float =
        (rgba.get(row * rowStride + 4 * column + channel).toInt() and 0xFF).toFloat()

    private fun mix(first: Float, second: Float, share: Float): Float =
        first + (second - first) * share
}
