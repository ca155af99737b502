"""Kotlin stubs of the parts of Android, AndroidX and LiteRT that the app calls, one per package."""

STUBS = {
    "android": """
object Manifest { object permission { const val CAMERA = "android.permission.CAMERA" } }
""",
    "android.content": """
abstract class Context
""",
    "android.content.pm": """
class PackageManager { companion object { const val PERMISSION_GRANTED = 0 } }
""",
    "android.content.res": """
class AssetFileDescriptor : java.io.Closeable {
    val fileDescriptor: java.io.FileDescriptor get() = TODO()
    val startOffset: Long get() = TODO()
    val declaredLength: Long get() = TODO()
    override fun close() {}
}
class AssetManager { fun openFd(name: String): AssetFileDescriptor = TODO() }
""",
    "android.graphics": """
class Bitmap {
    enum class Config { ARGB_8888 }
    companion object {
        @JvmStatic fun createBitmap(
            colors: IntArray, width: Int, height: Int, config: Config): Bitmap = TODO()
    }
}
""",
    "android.os": """
class Bundle
""",
    "android.util": """
class Size(val width: Int, val height: Int)
""",
    "android.view": """
open class View(context: android.content.Context)
""",
    "android.widget": """
class ImageView(context: android.content.Context) : android.view.View(context) {
    fun setImageBitmap(bitmap: android.graphics.Bitmap?) {}
}
""",
    "androidx.lifecycle": """
interface LifecycleOwner
""",
    "androidx.activity.result": """
abstract class ActivityResultLauncher<I> { abstract fun launch(input: I) }
""",
    "androidx.activity.result.contract": """
abstract class ActivityResultContract<I, O>
class ActivityResultContracts {
    class RequestPermission : ActivityResultContract<String, Boolean>()
}
""",
    "androidx.activity": """
open class ComponentActivity : android.content.Context(), androidx.lifecycle.LifecycleOwner {
    val assets: android.content.res.AssetManager get() = TODO()
    protected open fun onCreate(savedInstanceState: android.os.Bundle?) {}
    protected open fun onDestroy() {}
    fun setContentView(view: android.view.View) {}
    fun finish() {}
    fun runOnUiThread(action: Runnable) {}
    fun <I, O> registerForActivityResult(
        contract: androidx.activity.result.contract.ActivityResultContract<I, O>,
        callback: (O) -> Unit,
    ): androidx.activity.result.ActivityResultLauncher<I> = TODO()
}
""",
    "androidx.core.content": """
object ContextCompat {
    @JvmStatic fun checkSelfPermission(context: android.content.Context, name: String): Int = TODO()
    @JvmStatic fun getMainExecutor(
        context: android.content.Context): java.util.concurrent.Executor = TODO()
}
""",
    "androidx.camera.core": """
class CameraSelector { companion object { @JvmField val DEFAULT_BACK_CAMERA = CameraSelector() } }
abstract class UseCase
interface Camera
interface ImageProxy : AutoCloseable {
    interface PlaneProxy { val buffer: java.nio.ByteBuffer; val rowStride: Int }
    val planes: Array<PlaneProxy>
    val width: Int
    val height: Int
}
class ImageAnalysis : UseCase() {
    fun interface Analyzer { fun analyze(image: ImageProxy) }
    fun setAnalyzer(executor: java.util.concurrent.Executor, analyzer: Analyzer) {}
    class Builder {
        fun setResolutionSelector(
            selector: androidx.camera.core.resolutionselector.ResolutionSelector): Builder = this
        fun setOutputImageFormat(format: Int): Builder = this
        fun setOutputImageRotationEnabled(enabled: Boolean): Builder = this
        fun setBackpressureStrategy(strategy: Int): Builder = this
        fun build(): ImageAnalysis = TODO()
    }
    companion object {
        const val OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2
        const val STRATEGY_KEEP_ONLY_LATEST = 0
    }
}
""",
    "androidx.camera.core.resolutionselector": """
class ResolutionStrategy(size: android.util.Size, rule: Int) {
    companion object { const val FALLBACK_RULE_CLOSEST_HIGHER_THEN_LOWER = 2 }
}
class ResolutionSelector {
    class Builder {
        fun setResolutionStrategy(strategy: ResolutionStrategy): Builder = this
        fun build(): ResolutionSelector = TODO()
    }
}
""",
    "com.google.common.util.concurrent": """
interface ListenableFuture<V> : java.util.concurrent.Future<V> {
    fun addListener(listener: Runnable, executor: java.util.concurrent.Executor)
}
""",
    "androidx.camera.lifecycle": """
class ProcessCameraProvider {
    fun bindToLifecycle(
        owner: androidx.lifecycle.LifecycleOwner, selector: androidx.camera.core.CameraSelector,
        vararg useCases: androidx.camera.core.UseCase?): androidx.camera.core.Camera = TODO()
    companion object {
        @JvmStatic fun getInstance(context: android.content.Context):
            com.google.common.util.concurrent.ListenableFuture<ProcessCameraProvider> = TODO()
    }
}
""",
    "org.tensorflow.lite": """
enum class DataType { FLOAT32, UINT8 }
interface Tensor { fun dataType(): DataType; fun shape(): IntArray }
class Interpreter(model: java.nio.ByteBuffer, options: Options) : AutoCloseable {
    class Options {
        fun setNumThreads(count: Int): Options = this
        fun setUseXNNPACK(use: Boolean): Options = this
    }
    fun getInputTensor(index: Int): Tensor = TODO()
    fun getOutputTensor(index: Int): Tensor = TODO()
    fun run(input: Any, output: Any) {}
    override fun close() {}
}
""",
}
