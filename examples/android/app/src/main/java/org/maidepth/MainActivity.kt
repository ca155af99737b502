package org.maidepth

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.os.Bundle
import android.util.Size
import android.widget.ImageView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.resolutionselector.ResolutionSelector
import androidx.camera.core.resolutionselector.ResolutionStrategy
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.core.content.ContextCompat
import java.io.FileInputStream
import java.nio.MappedByteBuffer
import java.nio.channels.FileChannel
import java.util.concurrent.Executors

/** Shows the depth of what the back camera sees: near is warm, far is cold. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var view: ImageView
    private lateinit var network: DepthNetwork
    private lateinit var colors: IntArray

    private val permission =
        registerForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
            if (granted) startCamera() else finish()
        }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        network = DepthNetwork(mapped("student.tflite"), numThreads = 4)
        colors = IntArray(network.depthM.size)
        view = ImageView(this)
        setContentView(view)
        val granted = ContextCompat.checkSelfPermission(this, Manifest.permission.CAMERA)
        if (granted == PackageManager.PERMISSION_GRANTED) startCamera()
        else permission.launch(Manifest.permission.CAMERA)
    }

    override fun onDestroy() {
        super.onDestroy()
        worker.execute { network.close() } // after the picture that is in work
        worker.shutdown()
    }

    private fun startCamera() {
        val wanted = Size(network.width, network.height)
        val analysis = ImageAnalysis.Builder()
            .setResolutionSelector(
                ResolutionSelector.Builder()
                    .setResolutionStrategy(
                        ResolutionStrategy(
                            wanted, ResolutionStrategy.FALLBACK_RULE_CLOSEST_HIGHER_THEN_LOWER))
                    .build())
            .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
            .setOutputImageRotationEnabled(true)
            .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
            .build()
        analysis.setAnalyzer(worker) { picture -> picture.use(::show) }
        val provider = ProcessCameraProvider.getInstance(this)
        provider.addListener({
            provider.get().bindToLifecycle(this, CameraSelector.DEFAULT_BACK_CAMERA, analysis)
        }, ContextCompat.getMainExecutor(this))
    }

    private fun show(picture: ImageProxy) {
        val plane = picture.planes[0]
        network.predict(plane.buffer, picture.width, picture.height, plane.rowStride)
        Pixels.toColors(network.depthM, colors)
        val bitmap = Bitmap.createBitmap(
            colors, network.width, network.height, Bitmap.Config.ARGB_8888)
        runOnUiThread { view.setImageBitmap(bitmap) }
    }

    private fun mapped(asset: String): MappedByteBuffer =
        assets.openFd(asset).use { file ->
            FileInputStream(file.fileDescriptor).use { stream ->
                stream.channel.map(
                    FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength)
            }
        }
}
