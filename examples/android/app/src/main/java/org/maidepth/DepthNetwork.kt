package org.maidepth

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter

/** A `.tflite` of export.py: 640x480 RGB in (bytes, or floats 0..255), metres out. */
class DepthNetwork(model: ByteBuffer, numThreads: Int) : AutoCloseable {
    private val interpreter =
        Interpreter(model, Interpreter.Options().setNumThreads(numThreads).setUseXNNPACK(true))
    private val takesBytes = interpreter.getInputTensor(0).dataType() == DataType.UINT8
    private val inputShape = interpreter.getInputTensor(0).shape() // [1, height, width, 3]
    private val outputShape = interpreter.getOutputTensor(0).shape() // [1, height, width, 1]

    val height = inputShape[1]
    val width = inputShape[2]

    /** Of the answer, [height, width] in metres. */
    val depthM = FloatArray(outputShape[1] * outputShape[2])

    private val rgb = direct(height * width * 3)
    private val floats = direct(if (takesBytes) 0 else 4 * height * width * 3)
    private val answer = direct(4 * depthM.size)

    /** Answers a camera's picture (see [Pixels.toRgb]) in [depthM]. */
    fun predict(rgba: ByteBuffer, width: Int, height: Int, rowStride: Int) {
        Pixels.toRgb(rgba, width, height, rowStride, rgb, this.width, this.height)
        answer.rewind()
        interpreter.run(if (takesBytes) rgb else asFloats(), answer)
        answer.rewind()
        answer.asFloatBuffer().get(depthM)
    }

    override fun close() = interpreter.close()

    private fun asFloats(): ByteBuffer {
        floats.rewind()
        while (rgb.hasRemaining()) floats.putFloat((rgb.get().toInt() and 0xFF).toFloat())
        floats.rewind()
        return floats
    }

    private fun direct(bytes: Int): ByteBuffer =
        ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
}
